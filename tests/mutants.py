"""Mutated artefacts: makes them, loads them in a process that watches itself, and tells what happened, a line of JSON each.

`python tests/mutants.py ARTEFACT WORKPLACE FIRST COUNT` tries the mutants FIRST … FIRST + COUNT - 1. A mutant is made from its number alone."""
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np

NASTY = [0, -1, 1, 2**31, 2**63, -(2**63), 10**40, 0.5, 1e308, float("nan"), float("inf"), "", "exec", "\x00", "../../x", "a" * 5000, None, True, [], {}, [[]], [[[[[[]]]]]], {"a": 1}, "__import__('os').system('touch executed')"]
WATCHED = ("exec", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.startfile", "subprocess.Popen", "pickle.find_class", "marshal.loads", "import", "ctypes.dlopen", "socket.connect", "socket.bind",
           "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "shutil.rmtree")


class Executes:
    "Unpickled, it makes a file."
    def __reduce__(self): return os.system, ("touch executed",)


def fix_manifest(manifest):
    "Give a manifest the checksum that fits."
    plain = json.dumps({k: v for k, v in manifest.items() if k != "checksum"}, sort_keys=True, separators=(",", ":")).encode()
    return manifest | {"checksum": hashlib.sha256(plain).hexdigest()}


class Artefact:
    "An artefact as bytes by role, with a manifest that can be made to fit again."
    def __init__(self, folder):
        self.manifest = json.loads((folder/"manifest.json").read_text())
        self.files = {role: (folder/f["name"]).read_bytes() for role, f in self.manifest["files"].items()}

    def copy(self):
        other = object.__new__(type(self))
        other.manifest, other.files = json.loads(json.dumps(self.manifest)), dict(self.files)
        return other

    def arrays(self, role="arrays"):
        with np.load(io.BytesIO(self.files[role])) as f: return dict(f)

    def put_arrays(self, arrays, role="arrays", table=True):
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        self.files[role] = buffer.getvalue()
        if table: self.manifest[role] = {n: [np.asarray(a).dtype.str, list(np.shape(a))] for n, a in arrays.items()}

    def refit(self):
        "Recompute sizes, checksums and names, as a forger would."
        for role, f in self.manifest["files"].items():
            if not isinstance(f, dict) or role not in self.files: continue
            digest = hashlib.sha256(self.files[role]).hexdigest()
            f |= dict(name=f"{role}-{digest[:16]}.{'json' if role == 'spec' else 'npz'}", size=len(self.files[role]), sha256=digest)
        try: self.manifest = fix_manifest(self.manifest)
        except (TypeError, ValueError): pass
        return self

    def write(self, folder):
        folder.mkdir(parents=True)
        for role, data in self.files.items():
            name = self.manifest["files"].get(role, {}).get("name") if isinstance(self.manifest.get("files"), dict) and isinstance(self.manifest["files"].get(role), dict) else None
            if isinstance(name, str) and name and "/" not in name and "\x00" not in name and len(name) < 200: (folder/name).write_bytes(data)
        (folder/"manifest.json").write_text(json.dumps(self.manifest))


def mutate_bytes(data, rng):
    "Flip, overwrite, insert, delete, cut, repeat or zero."
    data, kind = bytearray(data), rng.integers(7)
    at, size = int(rng.integers(max(len(data), 1))), int(rng.integers(1, 65))
    if kind == 0 and data: data[at] ^= 1 << int(rng.integers(8))
    if kind == 1: data[at:at + size] = rng.bytes(size)
    if kind == 2: data[at:at] = rng.bytes(size)
    if kind == 3: del data[at:at + size]
    if kind == 4: del data[at:]
    if kind == 5: data[at:at] = data[at:at + size]
    if kind == 6: data[at:at + size] = bytes(min(size, len(data) - at))
    return bytes(data)


def mutate_array(a, rng):
    "Another value, shape, type or order."
    a, kind = a.copy(), rng.integers(9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind <= 2 and a.size and a.dtype.kind in "biuf": a.ravel()[rng.integers(a.size)] = np.array(rng.choice([0, 1, -1, 255, 65535, 1e9, np.nan, np.inf, -np.inf, 0.5, 1e-300])).astype(a.dtype)
        if kind == 3 and a.size and a.dtype.kind in "iuf": a.ravel()[rng.integers(a.size)] += np.array(rng.choice([1, 2, 3])).astype(a.dtype)
        if kind == 4: a = a[..., :-1] if a.ndim else a
        if kind == 5: a = a.astype(rng.choice(["<f8", "<f4", "<f2", "<i8", "<u1", "<i2", ">f4", "?", "<U5", "<c16"]))
        if kind == 6: a = a.ravel()
        if kind == 7: a = rng.permutation(a) if a.ndim else a
        if kind == 8 and a.size: a = rng.permuted(a)
    return a


def mutate_json(value, rng):
    "A nasty value somewhere in a tree of lists and tables; or something missing, or twice."
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = list(value)[rng.integers(len(value))]
        if rng.random() < 0.1: return {k: v for k, v in value.items() if k != key}
        return value | {key: mutate_json(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = int(rng.integers(len(value)))
        if rng.random() < 0.1: return value[:at] + value[at + 1:]
        if rng.random() < 0.1: return value + value[at:at + 1]
        return [*value[:at], mutate_json(value[at], rng), *value[at + 1:]]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rng.random() < 0.4: return value + int(rng.choice([-1, 1, 1000]))
    return NASTY[rng.integers(len(NASTY))]


def raw_bytes(art, role, rng):
    "The file as a list of members, for tricks with zip files."
    with zipfile.ZipFile(io.BytesIO(art.files[role])) as z: return {n: z.read(n) for n in z.namelist()}


def zipped(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as z:
        warnings.simplefilter("ignore")
        for name, data in members: z.writestr(name, data)
    return buffer.getvalue()


def npy(header, body=b"", version=b"\x01\x00"):
    header = header.encode() + b"\n"
    return b"\x93NUMPY" + version + len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little") + header + body


def hostile(art, rng):
    "Files that somebody made on purpose."
    members, kind = raw_bytes(art, "arrays", rng), rng.integers(13)
    victim = list(members)[rng.integers(len(members))]
    name = victim.removesuffix(".npy")
    if kind == 0: # an array of objects: a pickle that executes
        buffer = io.BytesIO()
        np.save(buffer, np.array([Executes()], dtype=object), allow_pickle=True)
        members[victim] = buffer.getvalue()
        if rng.random() < 0.5: art.manifest["arrays"][name] = ["|O", [1]]
    if kind == 1: members[victim] = npy(str(rng.choice(["__import__('os').system('touch executed')", "{'descr': __import__('os').system('touch executed'), 'fortran_order': False, 'shape': ()}", "{'descr': '<f8', 'fortran_order': False, 'shape': (10**15,)}",
                                                         "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}", "{'descr': '|V8', 'fortran_order': False, 'shape': (1,)}", "(" * 3000, "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2)}", "[" * 60000])), rng.bytes(64))
    if kind == 2: return art.files.update(arrays=zipped(members.items(), zipfile.ZIP_DEFLATED))
    if kind == 3: # a bomb
        members[victim] = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (30000000,)}", bytes(30_000_000))
        art.manifest["arrays"][name] = ["|u1", [30_000_000]]
        return art.files.update(arrays=zipped(members.items(), zipfile.ZIP_DEFLATED))
    if kind == 4: members["../../executed.npy"] = members.pop(victim)
    if kind == 5: return art.files.update(arrays=zipped([*members.items(), (victim, rng.bytes(80))])) # twice the same name
    if kind == 6: return art.files.update(arrays=rng.bytes(100) + art.files["arrays"]) # something before the zip
    if kind == 7: # entries that share their bytes
        data = bytearray(art.files["arrays"])
        end = data.rfind(b"PK\x01\x02")
        data[end + 42:end + 46] = (0).to_bytes(4, "little")
        return art.files.update(arrays=bytes(data))
    if kind == 8: return art.files.update(spec=str(rng.choice(["[" * 200_000, '{"a":' * 50_000, '{"feature_names": NaN}', "1" * 5000, '"' + "\\u0000" * 100, "NaN", "-Infinity", '{"__class__": "os.system"}'])).encode())
    if kind == 9: return art.files.update(golden=art.files["arrays"])
    if kind == 10: return art.manifest["files"].pop("golden", None), art.files.pop("golden", None), art.manifest.update(golden={})
    if kind == 11: return art.files.update(arrays=zipped((n, d) for n, d in list(members.items())[::-1])) # another order: the same model
    if kind == 12: members[victim] = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", rng.bytes(8), b"\x02\x00")
    art.files["arrays"] = zipped(members.items())


def on_disk(folder, rng):
    "Things that only a file system can do."
    files = sorted(folder.iterdir())
    victim, other = (files[i] for i in rng.choice(len(files), 2, replace=False))
    kind = rng.integers(6)
    if kind == 0: victim.unlink()
    if kind == 1: victim.unlink(), victim.mkdir()
    if kind == 2: victim.unlink(), os.mkfifo(victim)
    if kind == 3: victim.unlink(), victim.symlink_to(rng.choice(["/etc/passwd", "/dev/zero", "/dev/urandom", "nowhere", victim.name, other.name]))
    if kind == 4: victim.chmod(0), os.getuid() == 0 and victim.write_bytes(b"")
    if kind == 5: data = victim.read_bytes(); victim.write_bytes(other.read_bytes()); other.write_bytes(data)


def make_mutant(original, number, folder):
    "Write mutant `number` into `folder`; says which kind it is."
    rng = np.random.default_rng([7, number])
    art = original.copy()
    kind = ("bytes", "bytes", "forged bytes", "forged bytes", "forged arrays", "forged arrays", "forged arrays", "forged description", "forged manifest", "hostile", "forged golden", "files")[number % 12]
    role = str(rng.choice(list(art.files)))
    if kind == "forged bytes": art.files[role] = mutate_bytes(art.files[role], rng)
    if kind in ("forged arrays", "forged golden"):
        role = "golden" if kind == "forged golden" else "arrays"
        arrays = art.arrays(role)
        for _ in range(rng.integers(1, 4)):
            name = list(arrays)[rng.integers(len(arrays))]
            arrays[name] = mutate_array(arrays[name], rng)
        if rng.random() < 0.1: arrays.pop(name)
        if rng.random() < 0.1: arrays["more"] = np.arange(3)
        art.put_arrays(arrays, role)
    if kind == "forged description": art.files["spec"] = json.dumps(mutate_json(json.loads(art.files["spec"]), rng)).encode()
    if kind == "forged manifest": art.manifest = m if isinstance(m := mutate_json(art.manifest, rng), dict) else {"what": m}
    if kind == "hostile": hostile(art, rng)
    if kind == "forged manifest":
        try: art.manifest = fix_manifest(art.manifest)
        except (TypeError, ValueError): pass
    elif kind not in ("bytes", "files"): art.refit()
    art.write(folder)
    if kind == "bytes":
        files = sorted(folder.iterdir())
        for file in rng.choice(files, rng.integers(1, 3)): Path(file).write_bytes(mutate_bytes(Path(file).read_bytes(), rng))
    if kind == "files": on_disk(folder, rng)
    return kind


class Watch:
    "Notes what an interpreter does while it is on."
    def __init__(self):
        self.on, self.seen = False, []
        sys.addaudithook(self.hook)

    def hook(self, event, args):
        if not self.on: return
        if event in WATCHED: self.seen.append(f"{event} {str(args)[:80]}")
        if event == "compile" and args[1] != "<unknown>": self.seen.append(f"compile {str(args[1])[:80]}") # "<unknown>": literals of array headers, parsed and never run
        if event == "open" and (isinstance(args[1], str) and set(args[1]) & set("wax+") or not isinstance(args[1], str) and args[2] & (os.O_WRONLY | os.O_RDWR)): self.seen.append(f"open for writing {str(args[0])[:80]}")

    def __enter__(self): self.on, self.seen = True, []
    def __exit__(self, *_): self.on = False


def attempt(load, watch, same, forecast, X):
    "Load and forecast; what came of it, and how the forecasts compare."
    from smart_money.persistence import ArtifactError
    signal.alarm(30)
    try:
        with watch, warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            model = load()
            if same(model): return "the same model"
            try: values = model.predict_distribution(X).values
            except ValueError: return "another model, refuses to forecast"
        return "another model, the same forecasts" if values.shape == forecast.shape and np.array_equal(values, forecast) else "another model, other forecasts"
    except ArtifactError as error: return type(error).__name__ if all((error.file, error.expected, error.found, error.remedy)) else "INCOMPLETE ERROR"
    except TimeoutError: return "HANGS"
    except BaseException as error: return f"ESCAPES: {type(error).__name__}: {str(error)[:200]}"
    finally: signal.alarm(0)


def hang(*_): raise TimeoutError


def main(artefact, workplace, first, count):
    from smart_money.inference import probe_rows
    from smart_money.persistence import load_artifact, read_manifest
    artefact, workplace = Path(artefact), Path(workplace)
    workplace.mkdir(parents=True, exist_ok=True)
    os.chdir(workplace)
    original, checksum = Artefact(artefact), read_manifest(artefact)["checksum"]
    sound = load_artifact(artefact)
    X = probe_rows(sound, 50, random_state=5)
    forecast = sound.predict_distribution(X).values
    same = lambda m: m.spec == sound.spec and m.arrays.keys() == sound.arrays.keys() and all(a.dtype == m.arrays[n].dtype and np.array_equal(a, m.arrays[n]) for n, a in sound.arrays.items())
    watch = Watch()
    signal.signal(signal.SIGALRM, hang)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if Path("/proc/self/statm").exists() else 0
    if used: resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), resource.RLIM_INFINITY))
    folder = workplace/"model"
    for number in [-1, *range(first, first + count)]:
        if number < 0: original.write(folder); kind = "untouched"
        else: kind = make_mutant(original, number, folder)
        print(json.dumps({"about to try": number}), flush=True)
        asked = attempt(lambda: load_artifact(folder, checksum=checksum), watch, same, forecast, X)
        seen = list(watch.seen)
        any_ = attempt(lambda: load_artifact(folder), watch, same, forecast, X)
        executed = [*seen, *watch.seen, *(["the file executed"] if list(workplace.glob("executed*")) else [])]
        if number >= 0: print(json.dumps(dict(number=number, kind=kind, by_checksum=asked, by_path=any_, executed=executed)), flush=True)
        elif (asked, any_, executed) != ("the same model", "the same model", []): sys.exit(f"the watch is wrong: {asked}, {any_}, {executed}") # and all that loads late is loaded now
        shutil.rmtree(folder)


if __name__ == "__main__": main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
