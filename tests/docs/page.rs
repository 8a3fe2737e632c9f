//! A page of Markdown as what a reader would type.

/// A fenced block.
#[derive(Debug, Default)]
pub struct Block {
    /// Line of its opening fence, from 1.
    pub line: usize,
    /// After the fence.
    pub language: String,
    /// Between the fences.
    pub text: String,
    /// What is typed, if it is a console.
    pub commands: Vec<Command>,
    /// Why it is not run.
    pub skipped: Option<String>,
    /// What must be there, or it is not run.
    pub needs: Vec<String>,
    /// First words of lines that differ from host to host.
    pub varies: Vec<String>,
    /// The file that it is the text of.
    pub file: Option<String>,
}

/// One command and what the page says it prints.
#[derive(Debug)]
pub struct Command {
    pub line: usize,
    /// With its continuation lines, without prompts.
    pub typed: String,
    pub printed: Vec<String>,
}

/// All fenced blocks, with what the comments right before them say.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut next = Block::default();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if let Some(block) = &mut open {
            if line.trim() == "```" {
                blocks.extend(open.take().map(finished));
            } else {
                block.text.push_str(line);
                block.text.push('\n');
            }
        } else if let Some(language) = line.trim().strip_prefix("```") {
            let begun = std::mem::take(&mut next);
            open = Some(Block { line: number, language: language.to_owned(), ..begun });
        } else if let Some(comment) = line.trim().strip_prefix("<!--").and_then(|l| l.strip_suffix("-->")) {
            noted(&mut next, comment.trim());
        } else if !line.trim().is_empty() {
            next = Block::default();
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

fn noted(block: &mut Block, comment: &str) {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    match comment.split_once(':') {
        Some(("skipped in tests", why)) => block.skipped = Some(why.trim().to_owned()),
        Some(("needs", paths)) => block.needs = words(paths),
        Some(("varies by host", firsts)) => block.varies = words(firsts),
        Some(("file", path)) => block.file = Some(path.trim().to_owned()),
        _ => {}
    }
}

fn finished(mut block: Block) -> Block {
    if block.language != "console" {
        return block;
    }
    let mut continued = false;
    for (number, line) in block.text.lines().enumerate() {
        let typed = if let Some(typed) = line.strip_prefix("$ ") {
            block.commands.push(Command {
                line: block.line + 1 + number,
                typed: typed.to_owned(),
                printed: Vec::new(),
            });
            typed
        } else {
            let last = block.commands.last_mut().expect("a console block begins with a command");
            if !continued {
                last.printed.push(line.to_owned());
                continue;
            }
            last.typed.push('\n');
            last.typed.push_str(line);
            line
        };
        continued = typed.ends_with('\\');
    }
    block
}
