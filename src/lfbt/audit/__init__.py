"""What is wrong with data sets: copies, leakage, bad leads, unexpected counts."""
