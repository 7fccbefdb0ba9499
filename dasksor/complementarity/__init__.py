"""Problems that bounds make: linear complementarity and box-constrained quadratic programs."""
