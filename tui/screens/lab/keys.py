"""The keys of a lab, on every screen that shows one."""

from textual.binding import Binding, BindingType

from descent.common.i18n import N_

KEYS: tuple[BindingType, ...] = (
    Binding("k", "panel('check')", N_("check your files"), show=False, id="lab.check"),
    Binding("h", "panel('hint')", N_("a hint: where to look, which setting, the answer"), show=False, id="lab.hint"),
    Binding("w", "panel('write')", N_("edit your files"), show=False, id="lab.write"),
    Binding("u", "panel('draw')", N_("your code drawn"), show=False, id="lab.draw"),
    Binding("g", "panel('go')", N_("train your preset again"), show=False, id="lab.go"),
    Binding("up", "panel('knob_before')", N_("the knob before"), show=False, id="knobs.before"),
    Binding("down", "panel('next_knob')", N_("the next knob"), show=False, id="knobs.next"),
    Binding("left", "panel('less')", N_("turn the knob to the left: the file is written"), show=False, id="lab.less"),
    Binding("right", "panel('more')", N_("turn the knob to the right"), show=False, id="lab.more"),
    Binding("y", "panel('why')", N_("predictions, results and the explanation"), show=False, id="lab.why"),
    Binding("b", "panel('labs')", N_("other labs"), show=False, id="lab.labs"),
    Binding("p", "panel('picture')", N_("the next picture of the lab"), show=False, id="lab.picture"),
    Binding("tab", "app.focus_next", N_("next pane; arrows and page keys scroll it"), show=False, id="lab.tab"),
    Binding("pageup", "panel('up')", N_("scroll the text up"), show=False, id="lab.up"),
    Binding("pagedown", "panel('down')", N_("scroll the text down"), show=False, id="lab.down"),
    Binding("t", "panel('text')", N_("show or hide the text"), show=False, id="lab.text"),
)
