"""Values of densities: at points, on grids, by quadrature. Atomic units."""
