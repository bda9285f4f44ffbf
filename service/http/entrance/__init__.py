"""What every request passes before its route: `entrance` is the ASGI application, the others are one concern each."""
