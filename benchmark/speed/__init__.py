"""python -m benchmark.speed: measure this project and the original software in turn in one process."""
