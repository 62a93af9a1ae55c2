//! Compares a table in a document with the table that the code generates.

/// Fails unless `text`, the content of `file`, has these Markdown tables. Prints only the rows that differ.
#[track_caller]
pub(crate) fn assert_tables(file: &str, text: &str, tables: &str) {
    for table in tables.trim_end().split("\n\n") {
        let expected: Vec<_> = table.lines().collect();
        let found: Vec<_> =
            text.lines().skip_while(|line| *line != expected[0]).take_while(|line| line.starts_with('|')).collect();
        if found != expected {
            panic!("{file}, table `{}`:\n{}", expected[0], difference(&expected, &found));
        }
    }
}

/// The rows to add and to remove, or the first row with a wrong position.
fn difference(expected: &[&str], found: &[&str]) -> String {
    let added = expected.iter().filter(|row| !found.contains(row)).map(|row| format!("add    {row}\n"));
    let removed = found.iter().filter(|row| !expected.contains(row)).map(|row| format!("remove {row}\n"));
    let rows: String = added.chain(removed).collect();
    if !rows.is_empty() {
        return rows;
    }
    let position = expected.iter().zip(found).position(|(expected, found)| expected != found);
    let position = position.unwrap_or(expected.len().min(found.len()));
    format!("row {} must be\n{}", position + 1, expected.get(position).unwrap_or(&"the end of the table"))
}
