"""All benchmarks that need no real data, one after another: python -m Testing.benchmarks"""

from Testing.benchmarks import speed

if __name__ == "__main__":
    speed.main()
