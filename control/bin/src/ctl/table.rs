//! Rows with aligned columns, coloured where a person looks at them.

use serde_json::Value;

use super::text;

/// What a cell is meant to convey, as a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing in particular.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Odd,
    /// Broken.
    Bad,
}

impl Tone {
    /// The tone of a word for a state, of whatever it is the state.
    pub(super) fn of_state(state: &str) -> Self {
        match state {
            "healthy" | "ok" | "done" | "completed" | "drained" => Self::Good,
            "unhealthy" | "down" | "panic" | "failed" | "expired" => Self::Bad,
            "degraded" | "initial" | "draining" | "unused" | "unavailable" | "drain" | "maint"
            | "running" | "expiring" | "not_yet_valid" => Self::Odd,
            _ => Self::Plain,
        }
    }

    /// The tone of a change in a diff.
    pub(super) fn of_edit(op: &str) -> Self {
        match op {
            "add" => Self::Good,
            "remove" => Self::Bad,
            _ => Self::Odd,
        }
    }
}

/// Whether colours are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    /// With the escape sequences of ECMA-48.
    Coloured,
    /// As bare text.
    Bare,
}

impl Paint {
    /// `text` in the colour of `tone`.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let colour = match (self, tone) {
            (Self::Bare, _) | (_, Tone::Plain) => return text.to_owned(),
            (Self::Coloured, Tone::Good) => 32,
            (Self::Coloured, Tone::Odd) => 33,
            (Self::Coloured, Tone::Bad) => 31,
        };
        format!("\u{1b}[{colour}m{text}\u{1b}[0m")
    }
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with the word for a state.
    pub(super) fn state(text: String) -> Self {
        Self { tone: Tone::of_state(&text), text }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, tone: Tone::Plain }
    }
}

/// A table. A row that is shorter than the head ends in empty cells.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these column titles.
    pub(super) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// A row for each of `items`, each column being a title and the path of a member, with dots between steps.
    pub(super) fn of<'a>(
        columns: &[(&'static str, &str)],
        items: impl IntoIterator<Item = &'a Value>,
    ) -> Self {
        let mut table = Self::new(&columns.iter().map(|(title, _)| *title).collect::<Vec<_>>());
        for item in items {
            let cell = |(title, path): &(&str, &str)| match (text::at(item, path), *title) {
                (text, "STATE" | "ADMIN" | "STATUS") => Cell::state(text),
                (
                    text,
                    "AT" | "SINCE" | "CREATED" | "EXPIRES" | "DEADLINE" | "ENDED" | "DUE" | "ENDED EARLY",
                ) => text::time(&text).into(),
                (text, _) => text.into(),
            };
            table.row(columns.iter().map(cell).collect());
        }
        table
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table as lines.
    pub(super) fn render(&self, paint: Paint) -> String {
        let mut widths: Vec<usize> = self.head.iter().map(|title| title.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let head: Vec<Cell> = self.head.iter().map(|title| Cell::from((*title).to_owned())).collect();
        let mut lines = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            for (at, width) in widths.iter().enumerate() {
                let (text, tone) = match row.get(at) {
                    Some(cell) if !cell.text.is_empty() => (cell.text.as_str(), cell.tone),
                    _ => ("-", Tone::Plain),
                };
                line.push_str(&paint.paint(tone, text));
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(text.chars().count()) + 2));
            }
            lines.push_str(line.trim_end());
            lines.push('\n');
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned() {
        let items = [
            json!({"id": "web", "state": "healthy", "n": 12}),
            json!({"id": "a-longer-name", "state": "down"}),
        ];
        let table = Table::of(&[("ID", "id"), ("STATE", "state"), ("N", "n")], &items);
        assert_eq!(
            table.render(Paint::Bare),
            "ID             STATE    N\nweb            healthy  12\na-longer-name  down     -\n"
        );
    }

    /// Colours take no room.
    #[test]
    fn colours_do_not_shift_columns() {
        let items = [json!({"state": "healthy", "id": "ü"}), json!({"state": "down", "id": "b"})];
        let table = Table::of(&[("STATE", "state"), ("ID", "id")], &items);
        let coloured = table.render(Paint::Coloured);
        assert!(coloured.contains("\u{1b}[32mhealthy\u{1b}[0m  ü\n"), "{coloured:?}");
        assert!(coloured.contains("\u{1b}[31mdown\u{1b}[0m     b\n"), "{coloured:?}");
    }

    #[test]
    fn no_rows_leave_the_head() {
        assert_eq!(Table::new(&["ID", "STATE"]).render(Paint::Bare), "ID  STATE\n");
    }
}
