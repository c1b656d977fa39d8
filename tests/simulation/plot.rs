//! Curves as SVG: how long requests took, against what share of them took longer.

use std::fmt::Write as _;

use crate::report::Figures;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// From half of the requests to one in ten thousand.
const NINES: [(f64, &str); 5] =
    [(0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")];

/// Told apart by those who see colours otherwise, too (Okabe and Ito, 2008).
const COLOURS: [&str; 8] =
    ["#000000", "#e69f00", "#56b4e9", "#009e73", "#d6c400", "#0072b2", "#d55e00", "#cc79a7"];

/// Below this nothing differs.
const LEAST_MS: f64 = 3.0;

/// The most that is shown: ten times what the best takes, so that it can be told from the second best. Whatever is worse
/// runs along the upper edge.
fn most_shown(runs: &[(String, Figures)]) -> f64 {
    let worst = || runs.iter().map(|(_, run)| run.quantile(0.9999));
    worst().fold(100.0, f64::max).min(10.0 * worst().fold(f64::INFINITY, f64::min))
}

/// The curves of one scenario.
pub(crate) fn svg(title: &str, runs: &[(String, Figures)]) -> String {
    let most = most_shown(runs);
    let mut page = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{title}</text>\n"
    );
    for (of, label) in NINES {
        let x = across(of);
        let (foot, text) = (HEIGHT - BOTTOM, HEIGHT - BOTTOM + 18.0);
        let _ = writeln!(page, "<path d=\"M{x:.1} {TOP}V{foot}\" stroke=\"#dddddd\"/>");
        let _ = writeln!(page, "<text x=\"{x:.1}\" y=\"{text}\" text-anchor=\"middle\">{label}</text>");
    }
    for ms in [LEAST_MS, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0] {
        if ms > most {
            break;
        }
        let (y, end) = (up(ms, most), WIDTH - RIGHT);
        let _ = writeln!(page, "<path d=\"M{LEFT} {y:.1}H{end}\" stroke=\"#dddddd\"/>");
        let _ =
            writeln!(page, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{ms}</text>", LEFT - 6.0, y + 4.0);
    }
    let _ = writeln!(
        page,
        "<text x=\"{LEFT}\" y=\"{}\">of the requests took at most so many milliseconds; curves go on above the upper edge</text>",
        HEIGHT - 12.0
    );
    for (n, (name, run)) in runs.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let points = (0..=200).map(|step| 1.0 - 0.5 * 0.0002_f64.powf(f64::from(step) / 200.0));
        let line: Vec<String> =
            points.map(|of| format!("{:.1} {:.1}", across(of), up(run.quantile(of), most))).collect();
        let _ = writeln!(
            page,
            "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join("L")
        );
        let (x, y) = (WIDTH - RIGHT + 14.0, TOP + 18.0 * n as f64);
        let _ = writeln!(page, "<path d=\"M{x} {y}h18\" stroke=\"{colour}\" stroke-width=\"3\"/>");
        let _ = writeln!(page, "<text x=\"{}\" y=\"{}\">{name}</text>", x + 24.0, y + 4.0);
    }
    page.push_str("</svg>\n");
    page
}

/// Every nine takes as much room as the one before.
fn across(of: f64) -> f64 {
    let span = (0.5_f64 / 0.0001).ln();
    LEFT + (0.5 / (1.0 - of)).ln() / span * (WIDTH - RIGHT - LEFT)
}

fn up(ms: f64, most: f64) -> f64 {
    let span = (most / LEAST_MS).ln();
    HEIGHT - BOTTOM - (ms.clamp(LEAST_MS, most) / LEAST_MS).ln() / span * (HEIGHT - BOTTOM - TOP)
}
