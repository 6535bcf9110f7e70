"""What an installed package must hold and do: `python smoke.py CHECKOUT`, from anywhere but the checkout."""

import re
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import tinyhyper as th

checkout, installed = Path(sys.argv[1]) / "tinyhyper", Path(th.__file__).parent
assert checkout.resolve() not in (installed, *installed.parents), f"{installed} is the checkout"
files = {p.relative_to(checkout) for p in checkout.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
missing = sorted(str(f) for f in files if not (installed / f).exists())
assert not missing, f"not in the package: {missing}"

about = metadata.metadata("tinyhyper")
cited = re.search(r"^version: (.*)$", (checkout.parent / "CITATION.cff").read_text(), re.MULTILINE)[1]
assert about["Version"] == th.__version__ == cited
page = about.get("Description") or about.get_payload()
assert "## The idea in ten lines" in page and not re.search(r"\]\((?!https?://)", page), "a link leads nowhere on PyPI"

data = th.data.digits()
layer = th.nn.Linear("layer", 64, 10, th.tanh)
params, optimizer = layer.parameters(), th.optim.Adam(optimizer=th.optim.SGD(1e-4))
losses = []
with th.record() as tape:
    for images, labels in th.data.batches(data.train_images, data.train_labels, 128, seed=0):
        loss = th.cross_entropy(layer(params, images), labels)
        loss.backward()
        optimizer.step(params)
        losses.append(loss.item())
assert losses[-1] < losses[0] and optimizer.hyperparameters["alpha"] != 0.001, losses
with tempfile.TemporaryDirectory() as folder:
    page = Path(folder) / "page.html"
    tape.save_html(page)
    assert page.stat().st_size > 100_000
print(f"tinyhyper {th.__version__} in {installed}: {len(files)} files, loss {losses[0]:.2f} to {losses[-1]:.2f}")
