"""Every quantizer that runs here, on real weights."""
