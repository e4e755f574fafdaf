"""What a server that runs needs around the loop of the stores."""
