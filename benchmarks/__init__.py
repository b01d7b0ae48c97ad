"""`make bench`: what the product costs beside its floor and its neighbours, each ratio measured in turn in one run."""
