"""`stins check`: is this file, or this stream, as it should be? What is wrong, by rule."""
