"""Table 4 of the SWIFT paper for every tuner."""
