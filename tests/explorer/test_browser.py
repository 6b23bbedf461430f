"""The page in a real browser: it decodes as the model does, follows the hand, and runs nothing that data bring.

Skipped without Debian's Chromium, its driver and Selenium (`pip install -e ".[test]"`).
"""

import shutil
import time
import warnings
from urllib.parse import parse_qs

import numpy
import pytest
from explorer_pages import MOLECULES, SKETCHES, SYMBOLS

import scratchvae as sv

pytestmark = pytest.mark.slow
HOSTILE = "</script><script>document.title = 'seen'</script><img src=x onerror=\"document.title = 'seen'\">"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}", "--window-size=1280,1200"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()


def fitted(model, x, **options):
    """A model after a short training, so that codes and decoder are those of data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sv.PosteriorCollapseWarning)
        sv.fit(model, x, progress=False, **{"epochs": 3, "batch_size": 32} | options)
    return model


@pytest.fixture(scope="module")
def subjects():
    """Kind -> model, rows, labels, and what else the page is given."""
    digits, faces = sv.data.draw_digits(300, seed=2), sv.data.draw_faces(120, seed=2)
    x, y = digits.images, digits.labels
    scale = float(sv.data.describe_sketches(SKETCHES)["scale"])
    names, t = ["logP", "weight"], {name: MOLECULES.properties[name] for name in ("logP", "weight")}
    means, stds = ([float(statistic(t[name])) for name in names] for statistic in (numpy.mean, numpy.std))
    m1 = fitted(sv.VAE.mlp(784, 5, (40,)), x)
    molecules = sv.MoleculeVAE.gru(SYMBOLS, 60, 4, 24, "convolutional", names, means, stds)
    table = numpy.random.default_rng(0).standard_normal((80, 13)).astype(numpy.float32)
    return {
        "digits, two units": (fitted(sv.VAE.mlp(784, 2, (60, 30), "tanh"), x), x, y, {}),
        "digits, twenty units": (fitted(sv.VAE.convolutional((28, 28, 1), 20, (8, 16)), x), x, y, {}),
        "m2": (fitted(sv.SemiSupervisedVAE.mlp(784, 10, 6, (60,)), x, labels=y), x, y, {}),
        "m1+m2": (fitted(sv.StackedVAE.mlp(m1, [0, 2, 4], 10, 4, (20,)), x, labels=y), x, y, {}),
        "faces": (
            fitted(sv.VAE.convolutional((64, 64, 3), 8, (8, 8), likelihood="gaussian"), faces.images, epochs=1),
            faces.images,
            None,
            {"attributes": faces.attributes},
        ),
        "sketches": (fitted(sv.SketchRNN.lstm(6, 12, 24, 3, scale=scale), SKETCHES, epochs=8), SKETCHES, None, {}),
        "molecules": (
            fitted(molecules, MOLECULES.molecules, properties=t, epochs=60, kl_weight=0.0, learning_rate=1e-2),
            MOLECULES.molecules,
            None,
            {"properties": t},
        ),
        "table": (fitted(sv.VAE.mlp(13, 1, (8,), likelihood="gaussian"), table), table, None, {}),
    }


KINDS = [
    *("digits, two units", "digits, twenty units", "m2", "m1+m2", "faces", "sketches", "molecules", "table"),
]


@pytest.fixture
def opened(browser, subjects, tmp_path):
    """A function that opens the page of a kind, or of arguments for `explorer`, and waits until it stands still."""

    def opened(kind, fragment="", width=1280, dark=False, **options):
        model, x, labels, more = subjects[kind]
        page = sv.explorer(model, x, options.pop("labels", labels), **more | options)
        page.save(tmp_path / "page.html")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        size = {"width": width, "height": 1200, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get("about:blank")
        browser.get_log("browser")
        browser.get((tmp_path / "page.html").as_uri() + fragment)
        still(browser)
        return model

    return opened


def still(browser):
    """Wait until all that follows a change has been shown."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        time.sleep(0.05)
        if browser.execute_script("return document.readyState === 'complete' && !frameAsked && quiet === 0"):
            return
    raise AssertionError("the page does not stand still")


def picture(browser, canvas="picture"):
    return browser.execute_script("return document.getElementById(arguments[0]).toDataURL()", canvas)


def text(browser, name):
    return browser.execute_script("return document.getElementById(arguments[0]).textContent", name)


def address(browser):
    return {name: values[0] for name, values in parse_qs(browser.current_url.partition("#")[2]).items()}


def drag(browser, x, y):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    map_ = browser.find_element(By.ID, "map")
    ActionChains(browser).move_to_element(map_).click_and_hold().move_by_offset(x, y).release().perform()
    still(browser)


def press(browser, keys):
    from selenium.webdriver.common.by import By

    browser.find_element(By.ID, "map").send_keys(keys)
    still(browser)


@pytest.mark.parametrize("kind", KINDS)
def test_it_decodes_as_the_model_does_and_follows_the_hand(browser, opened, kind):
    model = opened(kind)
    z = numpy.random.default_rng(5).standard_normal((6, model.latent_size)).astype(numpy.float32)
    y = numpy.arange(6) % getattr(model, "n_classes", 1)
    script = "return arguments[0].map((z, i) => { const x = decoded(z, arguments[1][i]); "
    script += "return typeof x === 'string' ? x : Array.from(x); })"
    found = browser.execute_script(script, z.tolist(), y.tolist())
    if kind == "sketches":
        start = "return arguments[0].map((z) => { const { state, constant } = sketchStart(decoder, z); const row = "
        start += "lstmStep(decoder.lstm, Float32Array.of(0, 0, 1, 0, 0), state, constant); return Array.from("
        start += "LAYERS.affine(row.h, decoder.head)); })"
        p = model.decode(z)
        h, _ = model.decoder.lstm.step(numpy.tile(numpy.float32([0, 0, 1, 0, 0]), (6, 1)), (p.h0, p.c0), p.constant)
        expected = sv.to_numpy(model.decoder.head.linear(h))
        numpy.testing.assert_allclose(browser.execute_script(start, z.tolist()), expected, atol=1e-3)
    elif kind == "molecules":
        assert found == model.write(z)
    else:
        mean = (model.decode(z, y) if hasattr(model, "n_classes") else model.decode(z)).mean
        numpy.testing.assert_allclose(found, mean.reshape(6, -1), atol=1e-3)
    browser.execute_script("moveToRow(3)")
    still(browser)
    before, string, z_before = picture(browser), text(browser, "string"), address(browser)["z"]
    drag(browser, 150, -110)
    assert address(browser)["z"] != z_before
    assert text(browser, "string") != string if kind == "molecules" else picture(browser) != before
    assert browser.get_log("browser") == []
    assert (
        browser.execute_script("return performance.getEntriesByType('resource').length") <= 1
    )  # the sheet, data: of it


def test_keys_move_z_and_set_the_anchors(browser, opened):
    from selenium.webdriver.common.keys import Keys

    opened("digits, two units")
    press(browser, Keys.HOME)
    assert address(browser)["z"] == "0,0"
    press(browser, Keys.ARROW_RIGHT + Keys.ARROW_RIGHT + Keys.ARROW_UP)
    assert address(browser)["z"] == "0.2,0.1"
    press(browser, "a" + Keys.SHIFT + Keys.ARROW_LEFT)
    press(browser, Keys.NULL + "b")
    found = address(browser)
    assert (found["a"], found["b"], found["z"]) == ("0.2,0.1", "-0.3,0.1", "-0.3,0.1")
    assert browser.execute_script("return document.querySelectorAll('#strip canvas').length") == 9
    press(browser, Keys.ENTER)
    row = browser.execute_script("return nearestRow(state.z)")
    assert browser.execute_script("return distance(state.z, nearestRow(state.z))") < 1e-9
    press(browser, ".")
    assert browser.execute_script("return distance(state.z, arguments[0])", row + 1) == 0
    spoken = browser.execute_script("return document.getElementById('spoken').textContent")
    assert "nearest row " in spoken and ", label " in spoken


def test_an_address_restores_the_state_and_a_hostile_one_does_nothing(browser, opened):
    opened("m2", "#z=1,0.5,0,0,-1,2&y=7&plane=2,5&colour=0&a=1,1,1,1,1,1&b=0,0,0,0,0,1&t=0.25&way=arc")
    state = browser.execute_script("return state")
    assert (state["z"], state["y"], state["plane"], state["t"]) == ([1, 0.5, 0, 0, -1, 2], 7, "2,5", 0.25)
    assert browser.execute_script("return document.querySelector('input[name=y]:checked').value") == "7"
    hostile = "#z=1,2&y=99&plane=<img>&colour=-1&a=NaN,1,1,1,1,1&t=x&temperature=1e9&seed=%00&way=javascript:alert(1)"
    opened("m2", hostile)
    assert browser.execute_script("return [state, initialState()]")[0] == browser.execute_script(
        "return initialState()"
    )
    assert browser.get_log("browser") == []


def test_arcs_are_those_of_the_package(browser, opened):
    model = opened("digits, twenty units")
    a, b = model.prior_draws(2, seed=4)
    script = "return [0, 0.25, 0.5, 0.75, 1].map((t) => between(arguments[0], arguments[1], t, 'arc'))"
    arc = sv.latent_space.spherical_interpolation(a, b, 5)
    numpy.testing.assert_allclose(browser.execute_script(script, a.tolist(), b.tolist()), arc, atol=1e-5)
    assert browser.execute_script("return between([1, 0], [-1, 0], 0.5, 'arc')") == [0, 0]  # no arc: the line


def test_sliders_directions_classes_and_colours_work(browser, opened):
    opened("m2", labels=numpy.arange(300) % 7 / 2)
    before = picture(browser)
    script = "document.querySelector('input[name=y][value=\"3\"]').click()"
    browser.execute_script(script)
    still(browser)
    assert address(browser)["y"] == "3" and picture(browser) != before
    slider = "const s = document.querySelector('#units input'); s.value = 2; s.dispatchEvent(new Event('input'));"
    browser.execute_script(slider + "return s.dataset.unit")
    still(browser)
    assert "2" in address(browser)["z"].split(",")
    opened("faces")
    directions = browser.execute_script("return content.directions.map(({ name }) => name)")
    assert directions == list(sv.data.draw_faces(1).attributes)
    before = numpy.array(browser.execute_script("return state.z"))
    browser.execute_script("document.querySelector('#directions button[aria-label=\"more glasses\"]').click()")
    still(browser)
    vector = browser.execute_script("return content.directions.find(({ name }) => name === 'glasses').vector")
    numpy.testing.assert_allclose(
        browser.execute_script("return state.z"), before + 0.5 * numpy.array(vector), atol=1e-9
    )
    assert browser.get_log("browser") == []


def test_names_from_data_are_text(browser, opened):
    words = [HOSTILE, "plain"] * 150
    opened("digits, two units", labels=words, properties={HOSTILE: numpy.arange(300.0)}, title=HOSTILE)
    assert browser.title == HOSTILE and browser.execute_script("return document.images.length") == 0
    legend = browser.execute_script("return [...document.querySelectorAll('#legend button')].map((b) => b.textContent)")
    assert legend == [HOSTILE, "plain"]
    assert browser.execute_script("return document.scripts.length") == 2
    assert browser.get_log("browser") == []


def test_the_policy_stops_scripts_styles_and_addresses_that_are_not_the_pages(browser, opened):
    opened("digits, two units")
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.seen = 1'; document.body.append(s);"
        "const i = new Image(); i.src = 'http://127.0.0.1:9/x.png'; document.body.append(i);"
        "fetch('http://127.0.0.1:9/').catch(() => {});"
    )
    time.sleep(0.3)
    assert browser.execute_script("return window.seen") is None
    messages = " ".join(entry["message"] for entry in browser.get_log("browser"))
    assert messages.count("Content Security Policy") >= 3


@pytest.mark.parametrize("kind", ["digits, twenty units", "m2", "molecules", "sketches"])
def test_it_fits_a_phone_and_a_dark_room(browser, opened, kind):
    opened(kind, width=390)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    light = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    opened(kind, dark=True)
    dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert light == "rgb(255, 255, 255)" and sum(map(int, dark[4:-1].split(","))) < 120
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_control_has_a_name_for_a_screen_reader(browser, opened, kind):
    opened(kind, "#" if kind == "m2" else "")
    press(browser, "ab")
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    wanted = {"button", "slider", "combobox", "radio", "application", "image", "img", "Canvas"}
    controls = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored") and node.get("role", {}).get("value") in wanted
    ]
    assert len(controls) > 8 and all(name for _, name in controls), [each for each in controls if not each[1]]


def test_it_works_in_the_frame_of_a_notebook(browser, subjects, tmp_path):
    model, x, labels, _ = subjects["digits, two units"]
    (tmp_path / "notebook.html").write_text(f"<!doctype html>{sv.explorer(model, x, labels)._repr_html_()}")
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get((tmp_path / "notebook.html").as_uri())
    browser.switch_to.frame(0)
    try:
        still(browser)
        browser.execute_script("move([1, -1])")
        still(browser)
        assert browser.execute_script("return state.z") == [1, -1]
        assert "ms" in browser.execute_script("return document.getElementById('picture-caption').textContent")
    finally:
        browser.switch_to.default_content()
    assert browser.get_log("browser") == []
