"""One folder per vendor; `streamd/registry.py` finds them."""
