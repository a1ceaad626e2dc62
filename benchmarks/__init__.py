"""How quick the controller is, measured beside Docker itself on the same machine: `make bench`."""
