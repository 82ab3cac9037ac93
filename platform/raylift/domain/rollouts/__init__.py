"""Progressive traffic of a candidate version, and the gate after training."""
