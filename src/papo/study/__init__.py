"""Many runs as one experiment: run what a study asks for, compare its arms by paired seeds, say what knowing takes."""
