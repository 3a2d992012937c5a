"""What is measured, each module in a process of its own: arguments come as JSON, numbers go as JSON."""
