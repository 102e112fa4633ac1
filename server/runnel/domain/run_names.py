"""Names for runs that were created without one, such as ``brisk-heron-412``."""

from __future__ import annotations

import random

_ADJECTIVES = """
    amber ample apt bold brave breezy brisk calm candid chipper clear clever coastal cosmic cozy crisp curious dapper
    daring deft eager early earnest easy fair fancy fearless fleet fluent fond frank fresh gentle glad golden grand
    handy hardy hearty honest humble jolly keen kind lively lucid lucky mellow merry mild mindful modest neat nimble
    noble open patient plucky polite proud quick quiet rapid ready serene sharp shiny silver sincere sleek smart snug
    solid sonic spry stately steady still stout sunny swift tidy tranquil trusty upbeat vivid warm wise witty zesty
""".split()  # noqa: SIM905 (a list of words reads better as text)
_NOUNS = """
    alder badger beaver birch bison brook canyon cedar comet condor coral cove crane creek cricket curlew delta dune
    eagle elk elm falcon fern finch fjord fox gecko glacier grove gull hare harbor hawk hazel heron hill horizon ibex
    iris island jay kelp kestrel kite lagoon lake lark lemur lily linden lotus lynx magpie maple marlin marten meadow
    meteor mink moose moss moth newt oak oasis orca oriole osprey otter owl panda perch pine plover pond poplar prairie
    puffin quail raven reef ridge river robin salmon seal shore shrew sparrow spruce stork stream summit swan tern
    thrush tide trout tundra valley walrus warbler willow wolf wren yak
""".split()  # noqa: SIM905 (a list of words reads better as text)


def random_run_name() -> str:
    """An adjective, a noun and a number of at most three digits."""
    return f"{random.choice(_ADJECTIVES)}-{random.choice(_NOUNS)}-{random.randint(0, 999)}"
