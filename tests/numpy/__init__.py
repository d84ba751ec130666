"""gradlab.numpy against jax.numpy."""
