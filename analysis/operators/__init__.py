"""Matrix-free linear operators: Jacobians, Hessians, curvature matrices, and their algebra."""
