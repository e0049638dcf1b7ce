"""JSON list of [format, text] on standard input → for each, [[keys, text of the value], ...], or null where it is not read.

An independent reader of structured files: what is no string in the format is given as the file writes it, or left out.
"""

import configparser
import json
import re
import sys
import tomllib

import yaml


class Loader(yaml.BaseLoader):
    """Takes all scalars as texts, merges maps, and refuses what we refuse."""

    def flatten(self, node):
        """Returns the pairs of a map, its own first, and those that it merges after them."""
        own, merged = [], []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ValueError("a key that is no text")
            if key.value == "<<" and key.style is None:
                maps = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for one in maps:
                    merged += self.flatten(one)
            else:
                own.append((key.value, value))
        names = [name for name, _ in own]
        if len(set(names)) < len(names):
            raise ValueError("a key that is there twice")
        for name, value in merged:
            if name not in names:
                names.append(name)
                own.append((name, value))
        return own

    def value(self, node):
        if isinstance(node, yaml.ScalarNode):
            return node.value
        if isinstance(node, yaml.SequenceNode):
            return [self.value(one) for one in node.value]
        return {name: self.value(one) for name, one in self.flatten(node)}


def read_yaml(text):
    # In YAML 1.2, the colon is part of the name; to this reader, it is not.
    if re.search(r"[&*][^\s,{}\[\]]+:(\s|$)", text):
        raise ValueError("an anchor that ends with a colon")
    for event in yaml.parse(text):
        if getattr(event, "tag", None):
            raise ValueError("a tag")
    loader = Loader(text)
    node = loader.get_single_node()
    return {} if node is None or node.value == "" else loader.value(node)


def read_json(text):
    def pairs(found):
        if len(dict(found)) < len(found):
            raise ValueError("a key that is there twice")
        return dict(found)

    return json.loads(text, object_pairs_hook=pairs, parse_int=str, parse_float=str)


def read_ini(text):
    parser = configparser.RawConfigParser(default_section="\0", interpolation=None)
    parser.optionxform = str
    # What comes before the first section is in one of ours.
    top = "[\x01]\n"
    parser.read_string(top + text)
    found = {name: dict(parser[name]) for name in parser.sections()}
    return {**found.pop("\x01"), **found}


def read_env(text):
    found = {}
    for line in text.split("\n"):
        name, sign, value = line.partition("=")
        if line.strip()[:1] in ("#", ";", "") or not sign:
            continue
        value = value.strip()
        if value[:1] in ("'", '"'):
            if len(value) < 2 or value[-1] != value[0] or value[0] in value[1:-1] or "\\" in value:
                raise ValueError("quotes that only a shell reads")
            value = value[1:-1]
        elif "\\" in value:
            raise ValueError("an escape")
        found.pop(name.strip(), None)
        found[name.strip()] = value
    return found


READERS = {"json": read_json, "yaml": read_yaml, "toml": tomllib.loads, "ini": read_ini, "env": read_env}


def leaves(value, keys):
    if isinstance(value, dict):
        for name, one in value.items():
            yield from leaves(one, keys + [name])
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from leaves(one, keys + [str(number)])
    elif isinstance(value, str):
        yield [keys, value]
    elif isinstance(value, bool) or value is None:
        yield [keys, json.dumps(value)]


def read(kind, text):
    try:
        found = READERS[kind](text)
        # A value in quotes is read in other ways by configparser.
        found = list(leaves(found, []))
        json.dumps(found).encode()
        return found
    except Exception:
        return None


sys.setrecursionlimit(100000)
json.dump([read(kind, text) for kind, text in json.load(sys.stdin)], sys.stdout)
