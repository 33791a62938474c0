"""What generates tokens. `base` is the port; one module per engine behind it; read `base` first."""
