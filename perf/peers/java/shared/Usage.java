package peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;

/** What is read of an event, by Jackson's streaming parser: the fastest of those that peers would use. */
record Usage(String id, String source, String time, String model, long tokens) {
    private static final JsonFactory JSON = new JsonFactory();

    static Usage of(byte[] text) throws IOException {
        String id = null;
        String source = null;
        String time = null;
        String model = null;
        long tokens = 0;
        try (JsonParser parser = JSON.createParser(text)) {
            parser.nextToken();
            while (parser.nextToken() != JsonToken.END_OBJECT) {
                String name = parser.currentName();
                parser.nextToken();
                switch (name) {
                    case "id" -> id = parser.getText();
                    case "source" -> source = parser.getText();
                    case "time" -> time = parser.getText();
                    case "model" -> model = parser.getText();
                    case "tokens" -> tokens = parser.getLongValue();
                    default -> parser.skipChildren();
                }
            }
        }
        if (id == null || tokens < 1) {
            throw new IOException("no usage: " + new String(text));
        }
        return new Usage(id, source, time, model, tokens);
    }
}
