"""The machine: devices, precision, compiling, memory, several processes."""
