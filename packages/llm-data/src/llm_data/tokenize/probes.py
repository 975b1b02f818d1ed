"""Texts on which two implementations of a tokenizer are likely to differ."""

from __future__ import annotations

PROBES: tuple[str, ...] = (
    "",
    " ",
    "  ",
    "\n",
    "\t\n \r\n",
    "Hello world",
    " Hello  world ",
    "   leading, trailing   ",
    "I've you'RE 'tis don't O'Neill ''''s",
    "1 22 333 4444 55555 3.14 1,000,000 \u00b2\u00bd \u0663\u0664 \uff11\uff12",
    "def f(x):\n\tif x:\n        return x ** 2  # ok\n\n\n",
    '<div class="a">&amp;</div> {"k": [1, 2]} a_b-c/d\\e',
    "https://example.org/a?b=c&d=e#f user@example.org",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01 \u4eca\u5929 2024\u5e741\u67081\u65e5",
    "\u304b\u306a\u30ab\u30ca \ud55c\uad6d\uc5b4 \u0e44\u0e17\u0e22 \u05e2\u05d1\u05e8\u05d9\u05ea",
    "\u043d\u0435\u0449\u043e \u0393\u03b5\u03b9\u03b1 na\u00efve Stra\u00dfe \u0130stanbul",
    "\U0001f600\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308",
    "e\u0301 a\u0308 \u00e9 \ufb01 \u212b \u1100\u1161\u11a8",
    "\x00\x01\x1b[0m\x7f\x85\xa0\u200b\u2028\u2029\u3000\ufeff\ufffd",
    "\x1c\x1d\x1e\x1f a\x0bb\x0cc",
    "\u2581a \u2581\u2581 b\u2581",
    "</s><s><unk><pad><|endoftext|><|im_start|>[MASK]<0x41>",
    "a" * 200 + " " * 200 + "\n" * 50 + "=" * 120,
    "word " * 100,
    "!?.,;:()[]{}\u2026\u201c\u201d\u2018\u2019\u2014 ... !!! ??? ---",
    "x" + "\u0301" * 40,
    "\U0010ffff\ue000\ufdd0",
)
