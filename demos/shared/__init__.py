"""What demos share: the options of the command line, the folder for results, pictures, and stacks as text."""
