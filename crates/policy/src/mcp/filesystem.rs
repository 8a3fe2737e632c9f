//! A `tools/list` as a file server with 14 tools answers it.

/// The whole JSON-RPC response.
pub(super) const LIST: &str = r##"{"jsonrpc":"2.0","id":2,"result":{"tools":[
{"name":"read_file","title":"Read File (Deprecated)","description":"Read the complete contents of a file as text.","inputSchema":{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"path":{"type":"string"},"tail":{"description":"If provided, returns only the last N lines","type":"number"},"head":{"description":"If provided, returns only the first N lines","type":"number"}},"required":["path"]},"annotations":{"readOnlyHint":true},"outputSchema":{"type":"object","properties":{"content":{"type":"string"}},"required":["content"],"additionalProperties":false}},
{"name":"read_text_file","description":"Read a file as text.","inputSchema":{"type":"object","properties":{"path":{"type":"string"},"tail":{"type":"integer","minimum":1},"head":{"type":"integer","minimum":1}},"required":["path"]},"annotations":{"readOnlyHint":true}},
{"name":"read_media_file","description":"Read an image or audio file.","inputSchema":{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]},"annotations":{"readOnlyHint":true}},
{"name":"read_multiple_files","description":"Read several files.","inputSchema":{"type":"object","properties":{"paths":{"type":"array","items":{"type":"string"},"minItems":1,"description":"Array of file paths to read."}},"required":["paths"]},"annotations":{"readOnlyHint":true}},
{"name":"write_file","description":"Create or overwrite a file.","inputSchema":{"type":"object","properties":{"path":{"type":"string"},"content":{"type":"string"}},"required":["path","content"]},"annotations":{"readOnlyHint":false,"idempotentHint":true,"destructiveHint":true}},
{"name":"edit_file","description":"Line-based edits.","inputSchema":{"type":"object","properties":{"path":{"type":"string"},"edits":{"type":"array","items":{"type":"object","properties":{"oldText":{"type":"string","description":"Text to search for - must match exactly"},"newText":{"type":"string"}},"required":["oldText","newText"],"additionalProperties":false}},"dryRun":{"type":"boolean","default":false}},"required":["path","edits"]},"annotations":{"destructiveHint":true}},
{"name":"create_directory","description":"Create a directory.","inputSchema":{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}},
{"name":"list_directory","description":"List a directory.","inputSchema":{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}},
{"name":"list_directory_with_sizes","description":"List with sizes.","inputSchema":{"type":"object","properties":{"path":{"type":"string"},"sortBy":{"type":"string","enum":["name","size"],"default":"name"}},"required":["path"]}},
{"name":"directory_tree","description":"A tree as JSON.","inputSchema":{"type":"object","properties":{"path":{"type":"string"},"excludePatterns":{"type":"array","items":{"type":"string"},"default":[]}},"required":["path"]}},
{"name":"move_file","description":"Move or rename.","inputSchema":{"type":"object","properties":{"source":{"type":"string"},"destination":{"type":"string"}},"required":["source","destination"]}},
{"name":"search_files","description":"Search by glob.","inputSchema":{"type":"object","properties":{"path":{"type":"string"},"pattern":{"type":"string"},"excludePatterns":{"type":"array","items":{"type":"string"},"default":[]}},"required":["path","pattern"]}},
{"name":"get_file_info","description":"Metadata.","inputSchema":{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}},
{"name":"list_allowed_directories","description":"Directories that may be used.","inputSchema":{"type":"object","properties":{}}}
]}}"##;
