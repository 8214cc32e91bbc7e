"""Residual, multistep and reversible blocks, and nets of continuous depth: layers as steps of an integrator."""
