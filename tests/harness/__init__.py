"""What the tests stand on: a recorder of what a program declares, and a driver of the real engine."""
