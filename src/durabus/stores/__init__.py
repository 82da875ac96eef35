"""The stores: each implements the port that the streaming core defines; none knows of delivery, or of another."""
