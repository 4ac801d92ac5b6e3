"""python -m papo VERB ...: the console script, where it is not installed."""

from papo.verbs import main

if __name__ == "__main__":
    main()
