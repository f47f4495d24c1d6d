"""The program itself, on the real engine and the real node, in stacks and namespaces of its own."""
