"""Networks: load weights, describe layers, read responses, and speed up passes exactly."""
