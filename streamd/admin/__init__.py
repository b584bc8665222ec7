"""The admin endpoint: health, metrics, status and the page, on a TCP address and on the control socket."""
