"""What on call asks of a database: read over SSH, judged, shown. Reading, judging and showing are apart."""
