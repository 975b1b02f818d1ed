"""C++/CUDA kernels, their NumPy references and the model families' specs."""
