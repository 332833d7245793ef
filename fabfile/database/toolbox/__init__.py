"""What on call types after db-status: who does what, what waits, what is large, what is slow, and how to end it."""
