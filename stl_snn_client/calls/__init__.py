"""Every route as a function: its arguments -> the `Call`. The methods of both clients are made of these."""
