"""What operators see: metrics, logs and measured energy."""
