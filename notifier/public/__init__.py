"""What anybody may see of a notice: that it is genuine, and its words without anything personal."""
