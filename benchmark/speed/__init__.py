"""Speed of this project beside the original software, measured in turn in one process: python -m benchmark.speed."""
