"""What is not about ECG."""
