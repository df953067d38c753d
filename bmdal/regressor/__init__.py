"""The three-layer network of the paper: many side by side, trained together."""
