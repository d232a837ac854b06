"""The board as people use it: in Chromium, on the real stack, from the login to a champion that is rolled back."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from celeriac.client import champions
from tests_web.conftest import LOOKS, PICTURES, SCHEDULE, STUDY, Board, Enter

pytestmark = pytest.mark.timeout(400)
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
#: Of axe's verdicts, those that keep somebody out.
BAD = {"serious", "critical"}
TRIALS = 16


def submit(page: Page, board: Board, text: str) -> None:
    """Paste a file and send it."""
    page.get_by_role("link", name="Submit", exact=True).click()
    page.get_by_label("study.yaml").fill(text)
    page.get_by_role("button", name="Submit").click()
    page.wait_for_load_state()
    assert board.address in page.url


def test_without_a_login_no_page_is_shown(board: Board, chromium: Browser) -> None:
    context = chromium.new_context()
    page = context.new_page()
    for path in ("/", "/studies", "/fleet", "/schedules", "/submit", "/studies/arch", "/studies/arch/trials/0"):
        page.goto(board.address + path)
        assert page.url.startswith(f"{board.address}/login"), path
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    for path in ("/api/v1/studies", "/studies.json", "/studies/arch/drawn.json"):
        assert context.request.get(board.address + path).status == 401, path
    page.get_by_label("Token").fill("clr_wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("lets nobody in")
    context.close()


def test_a_study_is_submitted_and_watched_live_to_its_end(board: Board, enter: Enter) -> None:
    page = enter()
    text = STUDY.format(code=board.code, trials=TRIALS)
    page.get_by_role("link", name="Submit", exact=True).click()
    page.get_by_label("study.yaml").fill(text.replace("log: true", "log: maybe"))
    page.get_by_role("button", name="Check").click()
    page.get_by_role("link", name="line 6").click()
    chosen = page.evaluate(
        "(() => { const t = document.activeElement; return t.value.slice(t.selectionStart, t.selectionEnd); })()"
    )
    assert chosen.strip().startswith("lr:")
    submit(page, board, text)
    expect(page.get_by_role("heading", name="arch")).to_be_visible()
    expect(page.locator("#now")).to_contain_text("running")
    expect(page.locator("#now table")).to_contain_text("trial", timeout=60_000)
    # From here nothing is clicked and nothing loaded anew: the page follows by itself.
    page.evaluate("window.followed = true")
    expect(page.locator("#now .badge").first).to_have_text("done", timeout=120_000)
    expect(page.locator("#now")).to_contain_text(f"{TRIALS} of {TRIALS}")
    expect(page.locator("figure[data-chart=history] canvas")).to_be_visible()
    expect(page.locator("#trials")).to_contain_text(f"1 to {TRIALS} of {TRIALS}", timeout=30_000)
    assert page.evaluate("window.followed") is True
    asked = page.evaluate("performance.getEntriesByType('resource').map((each) => new URL(each.name).pathname)")
    assert "/studies/arch/live" not in asked, "it is pushed: nothing is asked for again and again"
    assert board.client().study("arch").record.counts.finished == TRIALS


def test_trials_are_sorted_filtered_and_compared(board: Board, enter: Enter) -> None:
    page = enter()
    page.goto(f"{board.address}/studies/arch")
    page.get_by_role("link", name="accuracy", exact=True).click()
    page.get_by_role("link", name=re.compile("accuracy ▲")).click()
    expect(page.locator("#trials tbody tr").first).to_contain_text("best")
    page.get_by_label("Where, such as").fill("kind=a")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("where=kind%3Da"))
    assert set(page.locator("#trials tbody tr td:nth-child(6)").all_inner_texts()) == {"a"}
    for box in page.locator("input[data-compare]").all()[:2]:
        box.check()
    page.get_by_role("button", name="Compare 2 trials").click()
    expect(page.get_by_role("heading", name="2 trials side by side")).to_be_visible()
    expect(page.locator("figure canvas").first).to_be_visible()


def test_studies_are_checked_in_the_list_and_compared(board: Board, enter: Enter) -> None:
    page = enter()
    submit(page, board, STUDY.format(code=board.code, trials=4).replace("study: arch", "study: other"))
    board.client().study("other").wait(timeout=60)
    page.goto(f"{board.address}/studies")
    expect(page.get_by_role("button", name="Compare")).to_be_disabled()
    page.get_by_label("Compare arch").check()
    page.get_by_label("Name contains").fill("other")
    expect(page.locator("#list tbody tr")).to_have_count(1)
    page.get_by_label("Compare other").check()
    page.get_by_role("button", name="Compare 2 studies").click()
    expect(page.get_by_role("heading", name="2 studies side by side")).to_be_visible()
    expect(page.locator("figure canvas")).to_be_visible()
    page.get_by_label("hours since the start").check()
    expect(page.locator("figure canvas")).to_be_visible()
    page.get_by_role("link", name="other").click()
    page.get_by_role("link", name="Compare with others").click()
    expect(page.locator("main")).to_contain_text("stand beside other")
    page.get_by_label("Compare arch").check()
    page.get_by_role("button", name="Compare 2 studies").click()
    expect(page.get_by_role("heading", name="2 studies side by side")).to_be_visible()


def test_a_trial_s_log_is_opened(board: Board, enter: Enter) -> None:
    page = enter()
    page.goto(f"{board.address}/studies/arch")
    page.locator("#now").get_by_role("link", name=re.compile(r"trial \d+")).first.click()
    expect(page.locator("pre.log")).to_contain_text("epoch 5: accuracy")
    expect(page.get_by_role("heading", name="Why it was tried")).to_be_visible()


def test_a_schedule_is_triggered_its_challenger_approved_and_rolled_back(board: Board, enter: Enter) -> None:
    page = enter()
    submit(page, board, SCHEDULE.format(code=board.code, trials=6))
    expect(page.get_by_role("heading", name="nightly")).to_be_visible()
    page.locator("summary", has_text="Run now").click()
    page.get_by_label("Why").locator("visible=true").fill("a try")
    page.get_by_role("button", name="Run now").click()
    expect(page.locator("#history-head, h2", has_text="History")).to_be_visible()
    store = board.client().store
    [firing] = store.firings("nightly")
    assert "a try" in firing.note
    waits = page.locator("summary", has_text="Approve")
    for _ in range(90):
        if waits.count():
            break
        page.wait_for_timeout(1000)
        page.reload()
    waits.click()
    page.get_by_role("button", name="Approve").click()
    expect(page.locator("#champions")).to_contain_text("approved by")
    first = store.champion_of("nightly", {"region": "eu"})
    assert first is not None
    [search] = [each for each in store.stage_studies([firing.id]) if each.stage == "search"]
    champions.promote(store, search.name, 0, slice_=None, who="ada", reason="to have one to go back from")
    page.reload()
    expect(page.locator("#champions")).to_contain_text("by hand by ada")
    page.locator("summary", has_text="Roll back").click()
    page.get_by_role("button", name="Roll back").click()
    expect(page.locator("#champions")).to_contain_text("rollback by")
    now = store.champion_of("nightly", {"region": "eu"})
    assert now is not None
    assert (now.params, now.kind) == (first.params, "rollback")


def test_past_nights_are_asked_for_and_the_coordinator_answers(board: Board, enter: Enter) -> None:
    page = enter()
    page.goto(f"{board.address}/schedules/nightly")
    page.locator("summary", has_text="Run past nights").click()
    page.get_by_label("From").fill("2013-02-01")  # it is due on the first of January alone
    page.get_by_label("To, included").fill("2013-02-03")
    page.get_by_role("button", name="Run past nights").click()
    expect(page.locator("main")).to_contain_text("2013-02-01 to 2013-02-03")
    over = page.get_by_text("Past nights of 2013-02-01 to 2013-02-03")  # and no more that they run
    for _ in range(60):
        if over.count():
            break
        page.wait_for_timeout(500)
        page.reload()
    expect(over).to_contain_text("no night of these days is past")
    assert board.client().store.open_replays() == []


def test_flower_is_behind_the_login(board: Board, enter: Enter, chromium: Browser) -> None:
    stranger = chromium.new_context()
    assert stranger.request.get(f"{board.address}/flower/workers").status == 401
    stranger.close()
    page = enter()
    page.goto(f"{board.address}/fleet")
    page.get_by_role("link", name="Queues in Flower").click()
    expect(page.locator("main")).to_contain_text(f"@{board.stack.settings.host}", timeout=30_000)
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / "flower.png")


def test_two_clicks_lead_from_the_morning_to_the_reason(board: Board, enter: Enter) -> None:
    page = enter()
    page.goto(board.address)
    page.get_by_role("link", name="What changed last night, and why").click()
    expect(page.get_by_role("heading", name=re.compile("Night of"))).to_be_visible()
    expect(page.locator("article").first).to_contain_text("why")


def test_a_host_is_drained_and_given_back(board: Board, enter: Enter) -> None:
    page = enter()
    page.goto(f"{board.address}/fleet")
    page.locator("summary", has_text="Drain").click()
    page.get_by_role("button", name="Drain").click()
    expect(page.locator("main")).to_contain_text("taken out by")
    page.get_by_role("button", name="Give back").click()
    expect(page.locator("summary", has_text="Drain")).to_be_visible()
    assert board.client().store.drained(board.stack.settings.host) == []


def test_the_keyboard_is_enough(board: Board, enter: Enter) -> None:
    page = enter()
    page.goto(f"{board.address}/studies")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("arc")
    expect(page.locator("#list tbody tr")).to_have_count(1)
    page.goto(f"{board.address}/fleet")
    page.locator("summary", has_text="Drain").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Drain")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Drain")).to_be_hidden()


def pages(board: Board) -> dict[str, str]:
    """Each page, by the name of its picture."""
    night = board.client().store.firings("nightly")[0]
    name = night.name.rsplit("/", 1)[-1]
    best = board.client().study("arch").record.best_number
    return {
        "morning": "/",
        "night": f"/nights/nightly/{name}",
        "studies": "/studies",
        "study": "/studies/arch",
        "compare": "/studies/arch/compare?trials=0,1,2",
        "compare_studies": "/compare?study=arch&study=other",
        "trial": f"/studies/arch/trials/{best}",
        "fleet": "/fleet",
        "schedules": "/schedules",
        "schedule": "/schedules/nightly",
        "submit": "/submit",
        "error": "/studies/nowhere",
    }


@pytest.mark.parametrize("look", LOOKS)
def test_each_page_is_drawn_fits_and_keeps_nobody_out(board: Board, enter: Enter, look: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page = enter(look, bypass_csp=True)
    found: list[str] = []
    for name, path in pages(board).items():
        page.goto(board.address + path)
        page.wait_for_load_state("networkidle")
        for figure in page.locator("figure[data-chart]").all():
            figure.scroll_into_view_if_needed()
            expect(figure).to_have_attribute("data-drawn", "yes")
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=PICTURES / f"{name}-{look}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
            f"{name} is wider than {look}"
        )
        page.add_script_tag(path=AXE)
        verdict = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        found += [
            f"{name}: {each['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
            for each in verdict["violations"]
            if each["impact"] in BAD
            for node in each["nodes"]
        ]
    assert found == []
