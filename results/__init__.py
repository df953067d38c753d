"""Run records, their aggregation, statistics and tables, and the published numbers."""
